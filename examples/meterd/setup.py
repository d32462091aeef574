from setuptools import setup

setup(
    name="meterd",
    version="1.0",
    description="Says how busy the machine is",
    packages=["meterd"],
    python_requires=">=3.9",
    entry_points={"console_scripts": ["meterd = meterd.daemon:main"]},
)
