"""Issue forms, dependabot and workflows are well-formed, and a report of a fault comes with the doctor's output."""

from pathlib import Path

import pytest
import yaml

GITHUB = Path(__file__).parents[2] / ".github"
FORMS = {path.stem: yaml.safe_load(path.read_text()) for path in (GITHUB / "ISSUE_TEMPLATE").glob("[!c]*.yml")}


def test_reports_of_faults_come_with_the_output_of_doctor():
    fields = {field["id"]: field for field in FORMS["fault"]["body"]}
    assert "python -m mmdg_lite doctor" in fields["doctor"]["attributes"]["label"]
    assert fields["doctor"]["validations"]["required"]


@pytest.mark.parametrize("name", FORMS)
def test_forms_have_a_name_and_labelled_fields(name):
    form = FORMS[name]
    assert {"name", "description", "body"} <= set(form)
    assert all(field["attributes"]["label"] for field in form["body"])
    assert len({field["id"] for field in form["body"]}) == len(form["body"])


def test_the_lock_is_not_renewed_pin_by_pin():
    updates = yaml.safe_load((GITHUB / "dependabot.yml").read_text())["updates"]
    assert {update["package-ecosystem"] for update in updates} == {"github-actions", "devcontainers"}


def test_other_systems_run_what_a_user_without_make_types():
    jobs = yaml.safe_load((GITHUB / "workflows" / "test.yml").read_text())["jobs"]
    assert set(jobs["systems"]["strategy"]["matrix"]["os"]) == {"macos-latest", "windows-latest"}
    commands = [step["run"] for step in jobs["systems"]["steps"] if "run" in step]
    assert all(command.startswith("python -m ") for command in commands)
    assert "python -m mmdg_lite doctor" in commands
