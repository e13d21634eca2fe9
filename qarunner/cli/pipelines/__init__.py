"""What the GitHub action and the GitLab component run: the program itself, and one note with the diff."""
