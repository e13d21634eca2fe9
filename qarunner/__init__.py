"""qarunner: a committed test matrix, compiled into runs at QA vendors, gating the build."""

__version__ = "0.1.0"
