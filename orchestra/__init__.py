"""orchestra: run a stack of microservices on Linux from one YAML file."""

__version__ = "0.1.0"
