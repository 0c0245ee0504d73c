"""The whole system on one machine: real servers, every service a process of its own, one front door."""
