"""Labels from Amazon Rekognition: `DetectLabels` on the picture as it is shown, without its EXIF and so its place."""

from __future__ import annotations

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from photos.catalogue import Label
from photos.labels import DetectorDown
from photos.settings import RekognitionSettings

MOST = 12
LEAST_CONFIDENCE = 70.0


class Rekognition:
    name = "Amazon Rekognition"

    def __init__(self, settings: RekognitionSettings) -> None:
        keys = {}
        if settings.key_id:
            keys = {"aws_access_key_id": settings.key_id, "aws_secret_access_key": settings.secret}
        # An upload waits for the answer; it is stored without labels rather than not at all.
        patience = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "max_attempts": 2})
        session = boto3.Session(region_name=settings.region, **keys)
        self._client = session.client("rekognition", config=patience)

    def look(self, jpeg: bytes) -> tuple[Label, ...]:
        try:
            answer = self._client.detect_labels(Image={"Bytes": jpeg}, MaxLabels=MOST, MinConfidence=LEAST_CONFIDENCE)
            found = {str(one["Name"])[:100]: float(one["Confidence"]) for one in answer["Labels"]}
        except ClientError as problem:
            raise DetectorDown(f"Amazon Rekognition said {problem.response['Error'].get('Code', '?')}") from problem
        except Exception as problem:
            # Silence is an error of botocore's; an answer that is none upsets its parser, or the line above, somehow.
            raise DetectorDown(f"Amazon Rekognition did not answer as it should: {problem!r}") from problem
        return tuple(Label(name=name, confidence=round(sure, 1)) for name, sure in found.items())
