"""Running an instance: preparing it, its processes, and watching over them."""
