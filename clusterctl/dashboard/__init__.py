"""Starting, finding and stopping the dashboard; the program itself is app/."""
