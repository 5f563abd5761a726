"""JSON schemas of the config files, generated from the models, for editors and for whoever writes config by program."""

import json
from pathlib import Path

from crosstalk.config.models import FILES


def schemas() -> dict[str, str]:
    """file name -> text of its JSON schema."""
    result = {}
    for name, model in FILES.items():
        schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()}
        result[f"{name}.schema.json"] = json.dumps(schema, indent=1, sort_keys=True) + "\n"
    return result


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        (folder / name).write_text(text)
