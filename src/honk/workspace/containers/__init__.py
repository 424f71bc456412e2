"""Sandboxes in containers, of Docker, Podman or Kubernetes, that fulfil what the local one does."""
