"""Examples out of the schemas: each field says its own once, a whole request is put together."""

from __future__ import annotations

from typing import Any

_OF_TYPE: dict[str, Any] = {"string": "text", "integer": 1, "number": 1, "boolean": False, "null": None}


def example_of(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """A value that the schema allows, of the examples that its fields give; optional fields only with one."""
    for said in ("examples", "enum"):
        if schema.get(said):
            return schema[said][0]
    for said in ("example", "const", "default"):
        if schema.get(said) is not None:
            return schema[said]
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    for choices in ("anyOf", "oneOf", "allOf"):
        if choices in schema:
            return example_of(schema[choices][0], schemas)
    if schema.get("type") == "array":
        return [example_of(schema["items"], schemas)] if "items" in schema else []
    if schema.get("type") == "object":
        required = schema.get("required", ())
        return {
            name: example_of(each, schemas)
            for name, each in schema.get("properties", {}).items()
            if name in required or each.get("examples")
        }
    return _OF_TYPE.get(schema.get("type", "null"))
