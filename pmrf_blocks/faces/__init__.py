"""Faces in photographs: found, brought to the FFHQ frame, pasted back.

frame.py        Face; the FFHQ frame and the similarity that brings five landmarks to it
tracking.py     FaceTracker: the same faces from frame to frame
warping.py      warp(): a similarity, antialiased where it shrinks
pasting.py      crop_face(), paste_face(): an unchanged crop leaves every pixel as it was
tones.py        Tone: grey and sepia photographs keep their one colour
detection.py    find_faces(): a pyramid of sizes, each face looked at again upright
yunet.py        YuNet, by kornia
dlib_mmod.py    dlib's detector and five landmarks
"""

from pmrf_blocks.faces.detection import DETECTORS, Detector, DetectorUnavailable, build_detector, find_faces
from pmrf_blocks.faces.frame import Face, similarity
from pmrf_blocks.faces.pasting import crop_face, feathered_mask, paste_face
from pmrf_blocks.faces.tones import Tone
from pmrf_blocks.faces.tracking import FaceTracker
from pmrf_blocks.faces.warping import warp

__all__ = [
    "DETECTORS",
    "Detector",
    "DetectorUnavailable",
    "Face",
    "FaceTracker",
    "Tone",
    "build_detector",
    "crop_face",
    "feathered_mask",
    "find_faces",
    "paste_face",
    "similarity",
    "warp",
]
