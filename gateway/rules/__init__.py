"""Rule texts: HOCON → a `RuleSet`, and back. The language itself is `gateway.domain.rules`."""
