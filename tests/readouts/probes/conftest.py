"""Every array that crosses a public boundary of the probes is checked against its shape."""

from __future__ import annotations

from jaxtyping import install_import_hook

with install_import_hook("vlmbench.readouts.probes", "beartype.beartype"):
    import vlmbench.readouts.probes  # noqa: F401
