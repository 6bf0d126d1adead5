import cv2
import numpy as np
BASELINES = ("black", "blur", "mean", "median", "mixed")
def make_baseline(image, name):
    if name == "black":
        return np.zeros_like(image)
    if name == "mean":
        return np.full_like(image, (124, 116, 104))
    if name == "blur":
        return cv2.GaussianBlur(image, (51, 51), 50)
    if name == "median":
        return cv2.medianBlur(image, 11)
    return cv2.addWeighted(make_baseline(image, "blur"), 0.5, make_baseline(image, "median"), 0.5, 0)
