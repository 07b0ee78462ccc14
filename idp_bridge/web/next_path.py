"""Where a browser goes after signing in: a path on our own origin, and nowhere else."""

_SPLIT_OPEN = frozenset("\\")  # browsers read a backslash as a slash


def safe(path: str | None) -> str | None:
    """``path`` where a redirect to it stays on our own origin, else None.

    One slash, then anything but a second one: ``//host`` and ``/\\host`` name another host, and browsers drop control
    characters before they parse (WHATWG URL, "basic URL parser", steps 1 to 3), so ``/<tab>/host`` does too.
    """
    if not path or not path.startswith("/") or path.startswith("//"):
        return None
    if any(character in _SPLIT_OPEN or not character.isprintable() for character in path):
        return None
    return path
