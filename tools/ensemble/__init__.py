"""What ./configure and make call: from a CPython release to a built python.

Standard library only, and it runs on any host python from 3.10, because it
runs before there is anything else. One module, one idea; from the bottom up:

    errors, toml, git, progress      small tools that know nothing of Ensemble
    releases, project                what is pinned, where everything lies
    sources, debian, pristine        a verified, unpacked release
    patches, overlay, generated      what we add to it
    tree                             build/src: the release with all of that
    variants, dependencies, compile  from the tree to a python
    refresh, check, dist             from the tree back to this project

Nothing half-done is ever trusted: folders and files are made under another
name and renamed when they are complete, and what cannot be renamed (a git
working tree, a folder of objects) is marked before it is touched.
"""
