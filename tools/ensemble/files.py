"""Writing files so that a reader never sees half of one."""

import hashlib
import json
import os
import shutil


def write_bytes(path, data, mode=None):
    """Replace the file at path by one with these bytes, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.tmp')
    temporary.write_bytes(data)
    if mode is not None:
        temporary.chmod(mode)
    os.replace(temporary, path)


def write_json(path, value):
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True) + '\n').encode())


def read_json(path):
    """The value written by write_json, or None when there is no file."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None


def sha256(path):
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def remove(path):
    """Remove a file or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
