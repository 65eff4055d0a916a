# pandas' own types reject most idiomatic table code; in the type check a table is opaque.
from typing import Any

def __getattr__(name: str) -> Any: ...
