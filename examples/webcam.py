"""A live demonstration: the webcam's picture with the decision of a model that sees RGB alone.

    python examples/webcam.py [MODEL]

MODEL is the folder of a run; without it the shipped model decides, which never saw a real face: its answers mean
nothing. Needs OpenCV with windows (`pip install opencv-python`) and a camera. Press q to end. This is a demonstration,
not a product: depth and infrared are missing, and a score of one frame is no decision about a person.
"""

import sys
from collections import deque

import cv2
import numpy as np

from mmdg_lite.inference.judge import open_judge
from mmdg_lite.inference.predict import predict

WINDOW = 10  # frames of the moving mean


def main(model: str | None = None) -> None:
    """Show the camera's frames until q is pressed."""
    judge = open_judge(model)
    print(judge.caution or "", f"live from {judge.threshold:.3f}, {judge.threshold_source}")
    camera, scores = cv2.VideoCapture(0), deque(maxlen=WINDOW)
    if not camera.isOpened():
        raise SystemExit("no camera was found")
    while cv2.waitKey(1) != ord("q"):
        there, frame = camera.read()  # H x W x 3, blue, green, red
        if not there:
            break
        found = predict(frame[..., ::-1].copy(), model=judge, crop=True)
        if any(note.kind == "face" for note in found.notes):
            scores.clear()
            text = "no face"
        else:
            scores.append(found.score)
            mean = float(np.mean(scores))
            decided = "live" if mean >= judge.threshold else "spoof"
            text = f"{decided}: {mean:.2f}, mean of {len(scores)} frames, {found.milliseconds:.0f} ms"
        cv2.putText(frame, text, (10, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2)
        cv2.imshow("mmdg_lite", frame)
    camera.release()
    cv2.destroyAllWindows()


if __name__ == "__main__":
    main(*sys.argv[1:2])
