"""Builds the example of a whole body from the examples of its fields."""

from __future__ import annotations

from typing import Any

_OF_TYPE: dict[str, Any] = {"string": "text", "integer": 1, "number": 1, "boolean": False, "null": None}


def example_of(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """Return a value that the schema allows. Optional fields are included if they have an example."""
    for keyword in ("examples", "enum"):
        if schema.get(keyword):
            return schema[keyword][0]
    for keyword in ("example", "const", "default"):
        if schema.get(keyword) is not None:
            return schema[keyword]
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
