"""The Pulumi program that provisions a plan's fleet; run by path.  See README.md here."""
