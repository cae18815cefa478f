"""Contents of files in storage that speaks S3."""
