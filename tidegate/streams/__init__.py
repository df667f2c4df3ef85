"""`tidegate streams`: how far streams are behind, and when they will have caught up."""
