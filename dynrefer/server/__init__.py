"""HTTP for programs: `/v1` beside the page on the same port, or alone."""

from dynrefer.server.app import build_service, serve, with_service

__all__ = ["build_service", "serve", "with_service"]
