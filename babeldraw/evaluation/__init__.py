"""What was learned: reconstruction, retrieval, reports."""
