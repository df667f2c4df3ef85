"""Dead letters of a stream as a person deals with them: found, shown, replayed, discarded.

What was dealt with is remembered in the topic itself. A run appends markers to the partition of the letters, and the
order of that partition decides between runs: a claim counts only for letters that no other marker has touched since its
writer had last read (compare and set).
"""
