# `make demo` and `make test` need nothing but make and Python 3.10 to 3.12; each sets up all it needs.
# A sourced ROS 2 environment is used; without one, ROS 2 comes from wheels (x86-64).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The set-up pins torch: a bare "torch" would fetch gigabytes of CUDA libraries.
TORCH := torch==2.13.0
comma := ,
ROS_EXTRA := $(if $(ROS_DISTRO),,$(comma)ros)
INTERFACES := $(if $(ROS_DISTRO),,$(VENV)/.interfaces)
OUT ?= out/demo

.PHONY: demo test lint model clean

demo: $(VENV)/.demo
	$(BIN)/selfocc demo --out $(OUT)

test: $(VENV)/.test $(INTERFACES) lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

LIMITS := Trained for an hour on generated streets only: what stands within 5 m, poles and pedestrians are often \
	misplaced, walls are too thick, what lies beyond 12 m is uncertain. Not for driving.
# The shipped model, from nothing: many streets, each for a moment, one drive on each core at a time;
# then training.
DRIVES := $(foreach seed,$(shell seq 1000 1239),runs/training-drives/$(seed).mcap)
model: $(VENV)/.test
	$(MAKE) --jobs $(shell getconf _NPROCESSORS_ONLN) $(DRIVES)
	$(BIN)/selfocc train --bags runs/training-drives --out runs/selfocc-tiny
	$(BIN)/selfocc export runs/selfocc-tiny/model.ckpt --out selfocc_core/models/selfocc-tiny.onnx \
		--limits "$(LIMITS)"

runs/training-drives/%.mcap:
	$(BIN)/selfocc synth --seed $* --seconds 0.8 --width 352 --height 198 --workers 1 \
		--no-ground-truth --no-lidar --out $@

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12) and "selfocc_ros needs Python 3.10 to 3.12, not " + sys.version.split()[0] + ": make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python setup.py
	$(BIN)/pip install --quiet --editable '.[synth$(ROS_EXTRA)]'
	touch $@

$(VENV)/.test: $(VENV)/.demo
	$(BIN)/pip install --quiet '$(TORCH)'
	$(BIN)/pip install --quiet --editable '.[synth,train,view,test$(ROS_EXTRA)]'
	touch $@

# What the tests want and PyPI has not, built in half a minute, and a launcher; tests do without.
# The launcher's dependencies, which it needs for other things, would displace those of ROS.
$(VENV)/.interfaces: $(VENV)/.test $(shell find test/ros_interfaces -type f)
	-$(BIN)/pip install --quiet --no-deps play_launch==0.16.0
	-$(BIN)/python test/ros_interfaces/build.py && touch $@

clean:
	rm -rf $(VENV) out runs build install log
