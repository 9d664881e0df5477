"""The Pulumi program that provisions a plan's fleet; run by path.  Holds no resource yet; see README.md here."""
