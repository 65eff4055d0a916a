# PyTensor types a graph operation as any of several things; opaque in the type check.
from typing import Any

def __getattr__(name: str) -> Any: ...
