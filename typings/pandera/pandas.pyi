# pandera builds its classes at run time; opaque in the type check.
from typing import Any

def __getattr__(name: str) -> Any: ...
