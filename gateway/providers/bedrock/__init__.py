"""Amazon Bedrock: Converse and InvokeModel, signed by us. The signer is imported by the client alone."""
