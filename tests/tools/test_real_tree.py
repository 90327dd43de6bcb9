"""What must hold of this project's own patches and build, where it has been built."""

import pytest

from ensemble import check, git, overlay, patches, pristine
from ensemble.project import Project
from ensemble.tree import Tree


@pytest.fixture
def project(root):
    project = Project(root=root)
    if not Tree(project).state_file.exists():
        pytest.skip('needs build/src: run make first')
    return project


def test_every_patch_has_its_header(root):
    assert [line for patch in patches.read(root / 'patches') for line in patch.problems()] == []


def test_the_series_lists_every_patch_once(root):
    assert check.series_problems(root / 'patches') == []


def test_patches_apply_to_every_release_that_is_unpacked(project, tmp_path):
    repo = pristine.repository(project)
    found = patches.read(project.patches)
    releases = [release for release in project.releases if repo.resolve(release.tag)]
    assert releases
    for release in releases:
        patches.apply(git.Repository(repo.git_dir), repo.resolve(release.tag), found,
                      tmp_path / 'index')


def test_a_patch_read_and_written_is_the_same(root):
    for name in patches.listed(root / 'patches'):
        data = (root / 'patches' / name).read_bytes()
        assert patches.parse(name, data).text() == data


def test_refresh_would_change_nothing(project):
    tree = Tree(project)
    tree.open()
    names = overlay.listing(project.root)
    assert check._refresh_problems(tree, patches.read(project.patches), names) == []
