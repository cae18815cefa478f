"""The gRPC door: one servicer a noun, all behind one `Door`; the only place that knows the generated messages."""
