"""Fixtures: a small trained model in which popularity matters, and domains to query."""

from tests.support.causal_fixtures import *  # noqa: F403
