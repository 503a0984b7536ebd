"""Complete, pinned lock files of the toolchains, and the inputs that they are resolved from."""
