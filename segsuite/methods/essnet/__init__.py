"""ESSNet: classes as points in a small space, a thousand of them and more (Jain et al., 2021)."""
