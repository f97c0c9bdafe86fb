"""Letters and signs: marks that the network should doubt, since they aren't digits."""

import numpy as np

# A name, then strokes parted by "/". A point has two digits, its x and y in ninths of the box; "."
# makes it a corner. Most small letters, the most common marks, have several forms.
_NAMED_MARKS = """
A 09 40. 89 / 26 66; B 19 10. 60 72 44. 76 69 19; C 81 40 04 49 88; D 10 19 / 10 72 77 19
E 80 10. 19. 89 / 15 65; F 10 19 / 10 80 / 14 64; G 81 40 04 49 87. 85. 55
H 19 10 / 70 79 / 15 75; J 30 80 / 60 67 39 07; K 10 19 / 70 15. 89; L 10 19. 79
M 09 10. 46. 80. 99; N 19 10. 79. 80; P 19 10. 60 64 15; Q 50 05 59 95 50 / 66 99
R 19 10. 60 64 15. 79; T 00 90 / 40 49; U 00 07 49 87 90; V 00 49. 90; W 00 29. 53. 79. 90
X 00 89 / 80 09; Y 00 45 / 90 45 39; a 72 40 05 38 74 / 80 77 99; a 62 31 04 28 65 70. 77 99
a 83 40 06 39 84 81. 97 99; a 12 50 73 79 / 75 24 07 39 77; b 10 18 59 75 43 16; c 71 40 05 49 88
c 62 31 05 59 97; d 75 43 07 39 77 / 80 79; d 64 23 07 39 66 90. 68 99; e 05 74. 40 05 49 88
f 81 50 33 39 / 14 74; f 63 80 50 44 39 07 / 24 84; h 00 09 / 06 43 66 79
h 08 53 40 20 19. 44 67 79 98; k 10 19 / 64 17. 69; k 07 43 30 19. 44 63 35. 79 98
m 09 01. 04 20 49. 43 70 89; n 01 09. 04 40 73 89; n 03 12 19. 42 63 68 97
n 03 11 38. 41 72 68 96; p 00 09 / 02 40 72 45 05; p 03 20 19. 31 62 56 25
q 72 40 03 45 73 / 70 79; r 00 19. 14 40 71; r 03 12 19. 41 73; t 30 38 69 / 13 73
t 40 48 79 97 / 03 84; u 00 07 48 75 / 70 89; u 02 20 27 58 84 80. 87 99; v 00 49. 90
v 02 11 38. 70 92; w 00 17 48 52. 58 87 90; x 00 89 / 80 09; x 02 20 49 78 96 / 90 60 39 08
y 00 35 / 80 29; y 00 14 45 80. 68 39 06; z 00 80. 09. 89; Ω 09 39 05 50 95 69 99
& 99 22 40 62 07 49 95; # 30 29 / 70 69 / 03 93 / 06 96; + 05 95 / 50 49; ✓ 05 39. 90
→ 05 95 / 62 95. 67; ∞ 55 22 05 27 55 72 95 77 55; △ 50 08. 98. 50; □ 00 90. 99. 09. 00
☆ 03 93. 29. 50. 79. 03; ♡ 52 20 03 59. 93 70 52; @ 55 64 75 57 25 42 83 88 39 05 30
? 02 30 62 45 47 / 49 59
"""
MARKS = [mark.split(maxsplit=1)[1] for mark in _NAMED_MARKS.strip().replace("\n", ";").split(";")]


def parse_mark(mark: str) -> list[np.ndarray]:
    """Return the strokes of a mark, float64 arrays (points, 2) of x and y in [0, 1], y down.

    A corner is a repeated point.
    """
    strokes = []
    for stroke in mark.split("/"):
        points = []
        for x, y, *is_corner in stroke.split():
            points += [(int(x) / 9, int(y) / 9)] * (1 + len(is_corner))
        strokes.append(np.array(points))
    return strokes
