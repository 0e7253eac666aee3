"""How knowledge is learned: who teaches whom, in which order, with which optimisers."""
