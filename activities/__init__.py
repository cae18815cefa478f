"""What touches the world on behalf of a workflow: methods of classes that were given their ports."""
