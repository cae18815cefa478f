"""The core of the gateway: domain, storage, providers, Temporal; see README, «The house»."""

VERSION = "0.1.0"
