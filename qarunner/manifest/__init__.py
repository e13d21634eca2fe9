"""From the text of a manifest to entries: read, check, bind, expand."""
