"""The doctor's eyes in a ROS graph, inside the node and from outside, and the verb."""
