"""ESSNet: classes as points in a small space, for a thousand classes and more (Jain et al., 2021)."""
