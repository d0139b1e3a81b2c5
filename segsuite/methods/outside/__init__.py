"""Networks of other libraries, to be measured and trained by the same rules as the suite's own."""
