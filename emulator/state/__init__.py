"""What is kept between runs: the state folder and its snapshots."""
