"""libtpu reads its environment when it is first asked for a topology."""

from babeldraw.planning.environment import prepare_environment

prepare_environment()
