"""The dashboard: a Streamlit program that is run by path.  Holds no page yet; see README.md beside this file."""
