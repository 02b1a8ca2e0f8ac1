"""Who finds the labels, and what is said of it: the local detector under its own name, Rekognition under its own."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from PIL import Image

from fairlead.spec import parse_text

from . import pictures
from .ground import EXAMPLE, Ground, settings_module
from .rekognition import FakeRekognition, a_rekognition

KEYS = {"REKOGNITION_ACCESS_KEY_ID": "AKIATESTS", "REKOGNITION_SECRET_ACCESS_KEY": "of the tests", "REKOGNITION_REGION": "eu-west-1"}  # fmt: skip
NEEDED = {"DATABASE_HOST": "db", "PHOTOS_BUCKET": "photos", "FLASK_SECRET": "sixteen or more characters"}
LOCAL_BUCKET = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "of-the-bucket", "AWS_SECRET_ACCESS_KEY": "x"}  # fmt: skip


@pytest.fixture
def rekognition() -> Iterator[FakeRekognition]:
    with a_rekognition() as fake:
        yield fake


# The local detector


def words(image: Image.Image) -> list[str]:
    from photos.labels.local import LocalDetector

    return [label.name for label in LocalDetector().look(pictures.jpeg(image))]


def test_the_local_detector_says_what_it_sees_and_no_more() -> None:
    assert {"Face", "Eyes"} <= set(words(pictures.portrait()))
    assert words(pictures.forest()) == ["Mostly green"]
    assert words(pictures.mountains()) == ["Mostly blue"]
    assert words(pictures.night())[0] == "Dark"
    for image in (pictures.forest(), pictures.mountains(), pictures.night(), pictures.sea(), pictures.balloons()):
        assert not {"Face", "Several faces", "Eyes", "Smile", "Cat face"} & set(words(image))


def test_two_faces_are_several() -> None:
    one = pictures.portrait((480, 600))
    both = Image.new("RGB", (960, 600))
    both.paste(one, (0, 0))
    both.paste(one, (480, 0))
    assert "Several faces" in words(both)


@pytest.mark.parametrize(
    ("colour", "word"),
    [((220, 30, 30), "Mostly red"), ((240, 140, 20), "Mostly orange"), ((240, 220, 40), "Mostly yellow"),
     ((40, 160, 60), "Mostly green"), ((40, 80, 220), "Mostly blue"), ((130, 50, 190), "Mostly purple"),
     ((250, 120, 190), "Mostly pink"), ((128, 128, 128), "Black and white"), ((10, 10, 10), "Dark"), ((250, 250, 250), "Bright")],
)  # fmt: skip
def test_a_colour_has_its_name(colour: tuple[int, int, int], word: str) -> None:
    assert word in words(pictures.plain(colour))


def test_strips_of_many_colours_are_colourful() -> None:
    strips = Image.new("RGB", (600, 100))
    for number, colour in enumerate([(230, 30, 30), (240, 220, 40), (40, 160, 60), (40, 80, 220), (130, 50, 190), (240, 140, 20)]):  # fmt: skip
        strips.paste(colour, (number * 100, 0, number * 100 + 100, 100))
    assert words(strips) == ["Colourful"]


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 2048), (2048, 1), (29, 29), (31, 5)])
def test_a_picture_too_small_for_a_face_is_no_error(size: tuple[int, int]) -> None:
    assert words(pictures.plain(size=size)) == ["Mostly blue"]


# Rekognition


@pytest.mark.live
def test_rekognition_is_asked_with_its_own_keys_and_its_answer_is_shown_under_its_name(
    any_ground: Ground, rekognition: FakeRekognition
) -> None:
    instance = any_ground.instance(**KEYS, AWS_ENDPOINT_URL_REKOGNITION=rekognition.url)
    visitor = instance.visitor()
    stored = visitor.upload(pictures.jpeg(pictures.portrait()))
    assert stored["labelled_by"] == "Amazon Rekognition"
    assert stored["labels"] == [{"name": "Person", "confidence": 99.1}, {"name": "Smile", "confidence": 71.5}]
    [asked] = rekognition.asked
    assert (asked["key_id"], asked["region"], asked["service"]) == ("AKIATESTS", "eu-west-1", "rekognition")
    assert asked["target"] == "RekognitionService.DetectLabels"
    assert asked["picture"] == visitor.get(stored["view"]).data, "what is shown is sent, without its EXIF"
    page = visitor.get(stored["url"]).text
    assert "found by Amazon Rekognition" in page
    assert "<i>99%</i>" in page


@pytest.mark.live
@pytest.mark.parametrize(
    "trouble", ["throttled", "denied", "broken", "garbage", "no labels", "odd labels", "hangs up", "gone"]
)
def test_an_upload_is_stored_without_labels_when_rekognition_fails_and_gets_them_later(
    any_ground: Ground, rekognition: FakeRekognition, trouble: str
) -> None:
    visitor = any_ground.instance(**KEYS, AWS_ENDPOINT_URL_REKOGNITION=rekognition.url).visitor()
    good = rekognition.answer
    if trouble == "gone":
        visitor = any_ground.instance(**KEYS, AWS_ENDPOINT_URL_REKOGNITION="http://127.0.0.1:9").visitor()
    elif trouble in ("throttled", "denied", "broken"):
        kinds = {"throttled": (400, "ThrottlingException"), "denied": (400, "AccessDeniedException"), "broken": (500, "InternalServerError")}  # fmt: skip
        rekognition.fails(*kinds[trouble])
    else:
        answers = {"garbage": "<html>no</html>", "no labels": "{}", "odd labels": '{"Labels": [{"Nom": 1}, 7]}'}
        rekognition.answer = answers.get(trouble, good)
        rekognition.hangs_up = trouble == "hangs up"
    stored = visitor.upload(pictures.jpeg(pictures.sea()))
    assert (stored["labels"], stored["labelled_by"]) == ([], "")
    token = visitor.form()["csrf_token"]
    visitor.client.post(f"{stored['url']}/labels", data={"csrf_token": token})
    assert "the detector does not answer" in visitor.get(stored["url"]).text
    if trouble != "gone":
        rekognition.status, rekognition.answer, rekognition.hangs_up = 200, good, False
        visitor.client.post(f"{stored['url']}/labels", data={"csrf_token": token})
        assert "found by Amazon Rekognition" in visitor.get(stored["url"]).text


@pytest.mark.live
def test_labels_of_any_length_and_number_are_stored(ground: Ground, rekognition: FakeRekognition) -> None:
    import json

    named = [
        {"Name": name, "Confidence": 90.0} for name in ("Café", "Cafe", "café", "x" * 300, "🦀", "x" * 300, "a'b\"<c>")
    ]
    rekognition.answer = json.dumps({"Labels": named})
    stored = ground.instance(**KEYS, AWS_ENDPOINT_URL_REKOGNITION=rekognition.url).visitor().upload(
        pictures.jpeg(pictures.sea())
    )  # fmt: skip
    assert [label["name"] for label in stored["labels"]] == ["Café", "Cafe", "café", "x" * 100, "🦀", "a'b\"<c>"]


# Whom to ask


def rekognition_of(**environment: str) -> object:
    return settings_module.Settings.read({**NEEDED, **environment}).rekognition


AMAZONS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "eu-west-1"}


def test_without_credentials_of_aws_rekognition_is_not_asked() -> None:
    assert rekognition_of() is None
    assert rekognition_of(**LOCAL_BUCKET) is None, "its keys are no keys of AWS"
    assert rekognition_of(**AMAZONS | LOCAL_BUCKET) is None, "nor are these, whatever else is set"
    assert rekognition_of(**AMAZONS | {"AWS_DEFAULT_REGION": ""}) is None
    assert rekognition_of(**AMAZONS, PHOTOS_LABELS="local") is None
    assert rekognition_of(**KEYS, PHOTOS_LABELS="local") is None


def test_with_the_keys_of_a_bucket_at_amazon_it_is() -> None:
    found = settings_module.RekognitionSettings(region="eu-west-1")
    assert rekognition_of(**AMAZONS) == found
    assert rekognition_of(**AMAZONS, AWS_ENDPOINT_URL_S3="https://s3.eu-west-1.amazonaws.com") == found
    assert rekognition_of(**AMAZONS, AWS_ENDPOINT_URL_S3="https://s3.amazonaws.com.example.org") is None


def test_with_keys_of_its_own_or_on_aws_when_told_so_it_is() -> None:
    found = rekognition_of(**LOCAL_BUCKET, **KEYS)
    assert found == settings_module.RekognitionSettings(region="eu-west-1", key_id="AKIATESTS", secret="of the tests")
    assert "of the tests" not in repr(found)
    role = rekognition_of(PHOTOS_LABELS="rekognition", AWS_DEFAULT_REGION="eu-north-1")
    assert role == settings_module.RekognitionSettings(region="eu-north-1")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({**LOCAL_BUCKET, "PHOTOS_LABELS": "rekognition"}, "belong to the bucket"),
        ({**KEYS, "REKOGNITION_SECRET_ACCESS_KEY": ""}, "REKOGNITION_SECRET_ACCESS_KEY is missing"),
        ({**KEYS, "REKOGNITION_ACCESS_KEY_ID": ""}, "REKOGNITION_ACCESS_KEY_ID is missing"),
        ({**KEYS, **LOCAL_BUCKET, "REKOGNITION_REGION": "", "AWS_DEFAULT_REGION": "x"}, "REKOGNITION_REGION is missing"),
        ({"PHOTOS_LABELS": "magic"}, "should be auto, local or rekognition"),
        ({"FLASK_SECRET": "short"}, "5 characters"),
        ({"FLASK_SECRET": " \n"}, "FLASK_SECRET is missing"),
        ({"PHOTOS_BUCKET": ""}, "PHOTOS_BUCKET is missing"),
        ({"DATABASE_HOST": ""}, "DATABASE_HOST is missing"),
        ({"DATABASE_PORT": "x"}, "should be a number"),
        ({"DATABASE_ENGINE": "oracle"}, "should be postgres or mysql"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_in_a_sentence(environment: dict[str, str], words: str) -> None:
    with pytest.raises(settings_module.SettingsError, match=words):
        settings_module.Settings.read({**NEEDED, **environment})


def test_the_reference_systems_variables_are_enough() -> None:
    found = settings_module.Settings.read(
        {**NEEDED, "DATABASE_USER": "web_user", "DATABASE_PASSWORD": "p@ss/w:rd\n", "DATABASE_DB_NAME": "Photos"}
    )
    url = found.database
    assert (url.drivername, url.host, url.port, url.username, url.password, url.database) == (
        "mysql+pymysql", "db", 3306, "web_user", "p@ss/w:rd", "Photos",
    )  # fmt: skip
    assert "p@ss" not in repr(found)
    assert "p@ss" not in str(url)


def test_the_lines_for_rekognition_in_the_file_are_ready_to_be_uncommented() -> None:
    text = (EXAMPLE / "fairlead.yaml").read_text()
    text = re.sub(r"^( *)# (PHOTOS_LABELS|REKOGNITION_\w+): ", r"\1\2: ", text, flags=re.MULTILINE)
    text = text.replace("[FLASK_SECRET]", "[FLASK_SECRET, REKOGNITION_SECRET_ACCESS_KEY]")
    [service] = parse_text(text, "fairlead.yaml", {}).services
    environment = {**service.environment, **NEEDED, "REKOGNITION_SECRET_ACCESS_KEY": "x", "DATABASE_PORT": "5432"}
    found = settings_module.Settings.read(environment).rekognition
    assert found == settings_module.RekognitionSettings(region="eu-central-1", key_id="AKIA...", secret="x")
