"""Few-shot class-incremental learning on pictures and texts: five methods, one interface.

    base         `SessionClassifier`: a session brings classes, the nearest class row answers
    zero_shot    rows of the names, nothing is learned
    prototypes   mean rows of the pictures, and the same calibrated by base classes (TEEN)
    blend        names and pictures together, still without training (after BiMC)
    prompted     deep prompts, trained session by session (CPE-CLIP)

Look at the first four before the last: on one published set the names alone do better.
"""
