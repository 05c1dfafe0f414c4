"""The doctor: says in one sentence why nothing appears, of a running node, a bag or a rig."""
