"""A live demonstration: the webcam's picture with the decision of a model that sees RGB alone.

    python examples/webcam.py [MODEL]

MODEL is the folder of a run; without it the shipped model decides, which never saw a real face: its answers mean
nothing. Needs OpenCV with windows (`pip install opencv-python`) and a camera. Press q to end. This is a demonstration,
not a product: depth and infrared are missing, and a score of one frame is no decision about a person.
"""

import sys
from collections import deque
from typing import Any

import numpy as np

from mmdg_lite.inference.judge import Judge, open_judge
from mmdg_lite.inference.predict import predict

WINDOW = 10
"""Frames of the moving mean."""


def caption(frame: Any, judge: Judge, scores: deque[float]) -> str:
    """What is written over a frame H x W x 3 (red, green, blue); its score joins those of earlier frames.

    Without a face, the earlier scores are forgotten.
    """
    found = predict(frame, model=judge, crop=True)
    if any(note.kind == "face" for note in found.notes):
        scores.clear()
        return "no face"
    scores.append(found.score)
    mean = float(np.mean(scores))
    decided = "live" if mean >= judge.threshold else "spoof"
    return f"{decided}: {mean:.2f}, mean of {len(scores)} frames, {found.milliseconds:.0f} ms"


def main(model: str | None = None) -> None:
    """Show the camera's frames until q is pressed."""
    import cv2

    judge = open_judge(model)
    print(judge.caution or "", f"live from {judge.threshold:.3f}, {judge.threshold_source}")
    camera, scores = cv2.VideoCapture(0), deque[float](maxlen=WINDOW)
    try:
        if not camera.isOpened():
            raise SystemExit("no camera was found")
        while cv2.waitKey(1) != ord("q"):
            there, frame = camera.read()  # H x W x 3, blue, green, red
            if not there:
                break
            text = caption(frame[..., ::-1].copy(), judge, scores)
            cv2.putText(frame, text, (10, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2)
            cv2.imshow("mmdg_lite", frame)
    finally:
        camera.release()
        cv2.destroyAllWindows()


if __name__ == "__main__":
    main(*sys.argv[1:2])
